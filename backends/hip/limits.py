"""What each architecture has.  Sources: the LLVM AMDGPU usage guide (processors), AMD's ISA documents, and amd.md section 6 of the references."""
from __future__ import annotations

LANES = {"gfx90a": 64, "gfx942": 64, "gfx950": 64, "gfx1100": 32}                                      # work items of a wave
SHARED_BYTES = {"gfx90a": 64 * 1024, "gfx942": 64 * 1024, "gfx950": 160 * 1024, "gfx1100": 64 * 1024}  # LDS that one work group can have
# Elements of K that one lane gives to a 16 x 16 MFMA, by bits of the factor (CDNA2, CDNA3, CDNA4 ISA documents, matrix arithmetic).
PER_LANE = {"gfx90a": {16: 4, 8: 4, 32: 1}, "gfx942": {16: 4, 8: 8, 32: 1}, "gfx950": {16: 8, 8: 16, 32: 1}}
NATIVE_F8 = frozenset({"gfx950"})       # e4m3 and e5m2 of OCP; gfx942 has other encodings (fnuz)
TRANSPOSING_READ = frozenset({"gfx950"})   # ds_read_b64_tr_b16 (CDNA4 ISA document)
DIRECT_COPY = frozenset({"gfx950"})        # 16 bytes of each lane go to LDS without passing registers (CDNA4 ISA document)
CHIPLETS = {"gfx942": 8, "gfx950": 8}      # XCDs that blocks are dealt to in turn (CDNA3 and CDNA4 white papers: MI300X, MI355X)
