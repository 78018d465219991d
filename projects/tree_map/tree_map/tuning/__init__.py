"""The score threshold and the settings of joining that suit a checkpoint, found on whole validation scenes."""
