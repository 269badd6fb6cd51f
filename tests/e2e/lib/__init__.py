"""What the end-to-end tests are made of: Onward itself, a scripted upstream, a byte-exact client, real DNS and Postfix."""
