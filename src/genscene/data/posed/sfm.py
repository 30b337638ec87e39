"""Photographs without cameras -> photographs with cameras: structure from motion by pycolmap, in COLMAP's layout."""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched, combinations
from pathlib import Path
from types import ModuleType
from typing import Any, Literal
