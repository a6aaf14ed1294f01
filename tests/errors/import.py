# expect: Import is not part of the tile language
# caret: 9:import math
# hint: an import at the top of the file


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    import math
