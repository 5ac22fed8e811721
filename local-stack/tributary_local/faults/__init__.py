"""What chaos injects, when, and how."""
