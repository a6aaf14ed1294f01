# expect: dot: operand types f16 and f32; cast one
# caret: 10:tile.dot(tile.zeros((4, 8), tile.f16), tile.zeros((8, 4), tile.f32))
# hint: one float type, or integers of one width (8 or 4 bits)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.dot(tile.zeros((4, 8), tile.f16), tile.zeros((8, 4), tile.f32))
