"""`facial-r1 doctor`: what this machine has and lacks."""
