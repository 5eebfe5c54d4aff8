"""The grammar of algorithms: what a federated method may decide. Pure torch, no input or output."""
