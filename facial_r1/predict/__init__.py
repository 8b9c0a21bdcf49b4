"""`facial-r1 predict`: what a model says about pictures that are no test set."""
