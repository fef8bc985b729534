"""Keras layers, one public class a file; every class saves and loads by name."""
