"""What all benches share: contenders, inputs, measuring."""
