# expect: return ends a tile_function, and stands nowhere else
# caret: 10:return
# hint: an if around the rest of the body


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    if i > 3:
        return
