"""Questions asked again without what they are about: media and questions exchanged or left out."""
