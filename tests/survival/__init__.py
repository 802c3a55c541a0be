"""What a sweep must survive; every test with real processes."""
