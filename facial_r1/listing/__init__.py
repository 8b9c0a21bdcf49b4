"""`facial-r1 ls`: what there is to choose from."""
