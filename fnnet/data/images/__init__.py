"""Images in files, and what is said of them: folders by class, COCO's JSON, VOC's XML."""
