"""What readers see: the site of a store, the page of one run, and the generated part of the README."""
