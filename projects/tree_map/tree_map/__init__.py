"""Room 3: a trained model and a scene in, a map out: every fallen tree as one object, in metres."""
