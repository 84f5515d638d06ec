"""Ready patterns of the names that instruments and public collections give their images."""

_TIFF = r"\.(?i:tiff?)$"
_GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

PATTERNS = {
    # A01_s1_DNA.tif
    "well_site_channel": rf"(?P<well>[A-Z]{{1,2}}\d{{1,3}})_s(?P<site>\d+)_(?P<channel>(?![wW]\d)[^_.]+){_TIFF}",
    # TimePoint_1/ZStep_2/9987_B02_s1_w1.TIF, IXMtest_A01_s1_w164FBEEF7-F77C-4892-86F5-72D0160D4FB2.tif (BBBC022),
    # G10_s1_w1BEDC2073-A983-4B98-95E9-84466707A25D.tif (BBBC021), P_C16_w1_[9AA4D9EA-18E4-4354-8C7D-0202029A8048].tif
    "imagexpress": r"(?:^|/)(?:TimePoint_(?P<time>\d+)/)?(?:ZStep_(?P<z>\d+)/)?(?:[^/]*_)?(?P<well>[A-Z]{1,2}\d\d)"
    rf"(?:_s(?P<site>\d+))?_(?P<channel>[wW]\d{{1,2}})(?:_?\[?{_GUID}\]?)?{_TIFF}",
    # r01c01f01p01-ch1sk1fk1fl1.tiff; p is the plane, sk the time point
    "operetta": r"r(?P<row>\d\d)c(?P<column>\d\d)f(?P<site>\d\d+)p(?P<z>\d\d+)(?:rc\d+)?-(?P<channel>ch\d+)"
    rf"sk(?P<time>\d+)fk\d+fl\d+{_TIFF}",
    # AssayPlate_Greiner_#655090_C02_T0001F001L01A01Z01C01.tif (CV7000, CV8000)
    "yokogawa": r"_(?P<well>[A-Z]{1,2}\d\d)_T(?P<time>\d+)F(?P<site>\d+)L\d+A\d+Z(?P<z>\d+)(?P<channel>C\d+)"
    rf"{_TIFF}",
    # AS_09125_050116030001_D03f00d1.tif, MFGTMP_260306160001_A01f00d0.C01 (ArrayScan, CellInsight, ExampleHuman)
    "cellomics": r"_(?P<well>[A-Za-z]{1,2}\d\d)f(?P<site>\d+)(?P<channel>d\d+)\.(?i:tiff?|c01|dib)$",
    # A1--W00001--P00001--Z00000--T00000--mcherry.tif
    "scanr": r"(?:^|/)(?P<well>[A-Z]{1,2}\d{1,2})--W\d{5}--P(?P<site>\d{5})--Z(?P<z>\d{5})--T(?P<time>\d{5})--"
    rf"(?P<channel>[^/]+){_TIFF}",
    # P002--A1--A1--W0001--P002--T00001--Z001--C01.ome.jpeg: the well is the first of the treatments
    "scanr_embl": r"--(?P<well>[A-Z]{1,2}\d{1,2})--(?:[^/]*--)?W\d{4}--P(?P<site>\d+)--T(?P<time>\d+)--Z(?P<z>\d+)--"
    r"(?P<channel>C\d+)\.(?i:(?:ome\.)?(?:tiff?|jpe?g|png))$",
    # A - 01(fld 1 wv Green - dsRed z 3).tif
    "incell": r"(?P<row>[A-Z]{1,2}) - (?P<column>\d{1,2})\(fld (?P<site>\d+) wv (?P<channel>[^()]+?)(?: wix \d+)?"
    rf"(?: z (?P<z>\d+))?\){_TIFF}",
    # MiaPaCa2-PhaseOriginal_A2_1_03d06h40m.tif
    "incucyte": r"(?P<channel>[^/_-]+)_(?P<well>[A-Z]{1,2}\d{1,2})_(?P<site>\d{1,2})_(?P<time>\d+d\d\dh\d\dm)"
    rf"{_TIFF}",
    # Channel1-01-A-01.tif (BBBC013, ExampleSBS)
    "bbbc013": rf"(?P<channel>Channel\d+)-\d+-(?P<row>[A-Z]{{1,2}})-(?P<column>\d+){_TIFF}",
}
"""Name → regular expression for `images.pattern`. No two fit the same name; that which fits most of a folder is taken.

ScanR's names without a well, and those of CV1000 and CQ1, number the wells: what they mean depends on the plate, and no
pattern is here."""
