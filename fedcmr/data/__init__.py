"""File -> volume -> batch: cases, splits, readers of each data set, preprocessing, phantoms and loaders."""
