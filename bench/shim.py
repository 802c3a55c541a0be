"""Does the start-up module of the environment keras-2.2.4 change a number? The same script there and on the real thing.

The real thing is Python 3.7 with keras==2.2.4 tensorflow==1.13.2 "protobuf<3.21" "h5py<3" "numpy<1.17". Run this with each of the
two interpreters (for ours, with the variables of `Environment.variables`), stdout to a file; then with both files as arguments.
"""

import json
import sys


def main():
    """Print the numbers of this interpreter as JSON, or the largest difference of each in two files."""
    if len(sys.argv) == 3:
        compare(*sys.argv[1:])
        return
    sys.stdout.write(json.dumps(measure()) + "\n")


def compare(real, ours):
    """Print the largest difference between two files of numbers, name by name."""
    import numpy as np

    with open(real) as left, open(ours) as right:  # noqa: PTH123 (two files of one line)
        real, ours = json.load(left), json.load(right)
    for name in real:
        difference = np.abs(np.subtract(real[name], ours[name])).max()
        sys.stdout.write(f"{name}: {difference:.2g}\n")


def measure():
    """Return outputs, a merged mask, losses, trained weights and histories."""
    import numpy as np
    from keras import Input, Model, backend, layers, optimizers

    rng = np.random.RandomState(0)

    def draw(model):
        model.set_weights([rng.normal(0, 0.5, w.shape).astype("float32") for w in model.get_weights()])
        return model

    found = {}
    inputs = Input((4,))
    embedded = layers.Embedding(5, 5, mask_zero=True)(inputs)
    model = draw(Model(inputs, layers.LSTM(3, return_sequences=True)(embedded)))
    found["lstm"] = model.predict_on_batch(np.array([[1, 0, 2, 0]]))

    model = draw(Model(inputs, layers.Dense(3)(layers.Embedding(5, 5, mask_zero=True)(inputs))))
    model.compile("sgd", "mse")
    x, y = np.array([[1, 2, 0, 0], [1, 2, 3, 0]]), np.arange(24).reshape(2, 4, 3)
    found["evaluate"] = model.evaluate(x, y, verbose=0)
    found["train_on_batch"] = model.train_on_batch(x, y)
    found["weights after it"] = np.concatenate([w.ravel() for w in model.get_weights()])

    numbers, categories = Input((5, 3)), Input((5, 1))
    second = layers.Embedding(9, 2, mask_zero=True)(layers.Reshape((5,))(categories))
    concatenate = layers.Concatenate()
    merged = concatenate([layers.Masking()(numbers), second])
    model = draw(Model([numbers, categories], layers.GRU(3, return_sequences=True)(merged)))
    batch = [
        np.array([[[0, 0, 0], [1, 2, 3], [0, 0, 0], [1, 2, 3], [1, 1, 1]]], "float32"),
        np.array([[[0], [1], [2], [1], [0]]]),
    ]
    found["gru"] = model.predict_on_batch(batch)
    found["merged mask"] = backend.function([numbers, categories], [concatenate.get_output_mask_at(0)])(batch)[0].astype(float)

    x = np.array([[[0, 0], [0, 0], [1, 0], [0, 1], [0, 1]], [[0, 0], [0, 1], [1, 0], [0, 1], [0, 1]]], "float32")
    for name in ("SGD", "RMSprop", "Adam"):
        inputs = Input((5, 2))
        model = draw(Model(inputs, layers.LSTM(3, return_sequences=True)(layers.Masking()(inputs))))
        model.compile(getattr(optimizers, name)(), "mae", sample_weight_mode="temporal", weighted_metrics=["mae"])
        weights = rng.uniform(0.5, 2, (2, 5))
        found["weighted, " + name] = model.evaluate(x, np.ones((2, 5, 3)), sample_weight=weights, verbose=0)
        history = model.fit(x, np.ones((2, 5, 3)), epochs=5, shuffle=False, verbose=0, batch_size=1).history
        found["fit, " + name] = history["loss"]
    return {name: np.asarray(value).tolist() for name, value in found.items()}


if __name__ == "__main__":
    main()
