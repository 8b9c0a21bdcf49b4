"""Faces found and cut out of pictures and clips (``pip install 'facial_r1[faces]'``), for data that comes without crops."""
