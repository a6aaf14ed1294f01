# expect: bitcast: f32 and i16 differ in width
# caret: 10:tile.bitcast(tile.load(x, (0, 4)), tile.i16)
# hint: both must have 8, 16, 32 or 64 bits
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.bitcast(tile.load(x, (0, 4)), tile.i16)
