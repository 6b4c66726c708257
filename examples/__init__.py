"""Code to read and to copy: an agent, the toy mail service it talks to, and the demo that plays both out."""
