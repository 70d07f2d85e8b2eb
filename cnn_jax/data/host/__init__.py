"""Pictures on the host: decoded, cropped and resized, by worker processes where they are streamed."""
