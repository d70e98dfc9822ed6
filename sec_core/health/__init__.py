"""How the pipeline is: facts, and what follows from them."""
