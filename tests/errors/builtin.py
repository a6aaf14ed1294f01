# expect: 'len' is neither a constant nor a tile_function
# caret: 8:len
# hint: numbers, tuples, dtypes, None and tile functions may be used


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(len(x))
