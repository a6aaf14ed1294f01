# expect: 'math' is neither a constant nor a tile_function
# caret: 12:math
# hint: bind the number to a name outside the kernel: PI = math.pi


import math


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4)) * math.pi
