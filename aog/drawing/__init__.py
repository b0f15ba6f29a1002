"""Pictures of And-Or graphs and of what they find."""
