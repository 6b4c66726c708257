"""The deciding code: pure functions over the model, no I/O."""
