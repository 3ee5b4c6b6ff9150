use super::*;
#[test]
fn show() {
    for text in [
        "interfaces = [\n  \"eth0\"\n",
        "a = 1\na = 2\n",
        "\u{feff}interfaces = [\"eth0\", \"lo\"]\n",
        "x = \n",
        "a = \"\u{1b}\"",
        "interfaces = \"eth0\"\nmode = 3\n[rule]\nname=\"x\"\n",
        "interfaces = [\"lo\", 3]\nmode='nativ'\n[[rule]]\nacton='drop'\nservice=[]\n[rule.source]\n[[rule]]\nname='x'\nsource.country=['UK', 'China']\naction='rejct'\n[[rule]]\nname='x'\nsource={any=false, cidr=['1.2.3.4/24'], asn=['AS5', 0]}\naction='pass'\nmark=0\ndscp=64\n[geoip]\nanonymous='x'\nmode=1\n",
        "geoip=3\nrule=[]\nmetrics.listen=':9462'\ncontrol.socket='x'\n[[rule]]\n",
    ] {
        println!("=====\n{}", Config::parse(text, Path::new("f.toml")).unwrap_err());
    }
}
