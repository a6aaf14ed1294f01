# expect: one statement binds one target
# caret: 9:a = b = 3
# hint: a second statement


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    a = b = 3
