"""What is measured: one application for each kind of peer."""
