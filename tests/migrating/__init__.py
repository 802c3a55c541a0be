"""One model under two versions of Keras: comparing, explaining, finding the sides, refusing code; the command is in tests/cli."""
