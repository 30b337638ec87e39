"""Data examined and prepared for training: inspection, camera poses by structure from motion."""
