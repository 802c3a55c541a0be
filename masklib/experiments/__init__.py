"""What the notebooks share: data, the documents' models and losses, and the measuring of Keras models."""
