"""From a scene to pieces of trees: read ahead, looked at by the network, kept so that no kill costs them."""
