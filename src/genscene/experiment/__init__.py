"""What a run is made of: its schema, schedules, validation, serialisation."""
