# expect: parameter 'x' needs an annotation
# caret: 7:x
# hint: x: "f32[N]", x: "f32" or x: const


@tile_kernel
def kernel(x, y: "f32[N]"):
    i = tile.grid(1)
