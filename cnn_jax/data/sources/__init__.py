"""Sources of images: from files or the network to arrays in memory, or to streams of batches."""
