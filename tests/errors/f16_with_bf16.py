# expect: maximum: no common type for f16 and bf16; cast one
# caret: 10:tile.maximum(tile.load(x, 0), tile.load(y, 0))
# hint:
# args: x=f16(8), y=bf16(8)


@tile_kernel
def kernel(x: "f16[N]", y: "bf16[N]"):
    i = tile.grid(1)
    t = tile.maximum(tile.load(x, 0), tile.load(y, 0))
