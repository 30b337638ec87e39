"""What is timed, each as a ratio against a reference in one run."""
