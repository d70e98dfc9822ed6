"""Bytes under names, in a folder or in an object store: where Bronze, the archive and Gold lie."""
