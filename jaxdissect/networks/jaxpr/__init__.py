"""Read jaxprs: split a program at a layer, find a linear readout."""
