"""What was sent, against what is in the lake and in the report."""
