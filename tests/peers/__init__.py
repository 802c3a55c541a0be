"""The tests of papermill and nbclient themselves, with our engine and our warm kernels: `make peers`."""
