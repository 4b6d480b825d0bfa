"""What runs beside the dataflow."""
