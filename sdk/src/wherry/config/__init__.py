"""What a user typed and wrote: references, `wherry.yaml`, `.env`, settings with their provenance, secrets."""
