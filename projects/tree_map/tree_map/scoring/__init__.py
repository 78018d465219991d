"""How good a map is: found trees against labelled ones, in metres, scene by scene, with intervals."""
