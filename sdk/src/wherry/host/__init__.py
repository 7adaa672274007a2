"""The plugin host: what is installed (registry), its classes (load), its observers (hooks)."""
