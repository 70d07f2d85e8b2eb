"""Published networks on photographs that packages ship: `make gallery` checks them and draws `docs/gallery`."""
