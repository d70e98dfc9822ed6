"""Tools of the project itself: they check it and write its documents; nothing of it is installed."""
