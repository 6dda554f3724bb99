# Reads JSON, prints one line a value: path, tab, value. Path parts are joined by "/"; escapes of control
# characters in strings become spaces, so that a value is always one line.
{ text = text $0 " " }
END { at = 1; element("") }

function blank() { while (index(" \t\r\n", substr(text, at, 1)) && at <= length(text)) at++ }

function string(    out, mark) {
    out = ""
    for (at++; at <= length(text); at++) {
        mark = substr(text, at, 1)
        if (mark == "\"") { at++; return out }
        if (mark == "\\") {
            mark = substr(text, ++at, 1)
            if (mark == "u") {
                out = out unicode(substr(text, at + 1, 4))
                at += 4
            } else if (index("bfnrt", mark)) out = out " "
            else out = out mark
        } else out = out mark
    }
    return out
}

function unicode(digits,    code, place) {
    code = 0
    for (place = 1; place <= 4; place++) code = code * 16 + index("123456789abcdef", tolower(substr(digits, place, 1)))
    return (code >= 32 && code < 127) ? sprintf("%c", code) : " "
}

function element(path,    mark, start, number, key) {
    blank()
    mark = substr(text, at, 1)
    if (mark == "{" || mark == "[") {
        number = 0
        at++
        for (blank(); at <= length(text) && !index("}]", substr(text, at, 1)); blank()) {
            key = number++
            if (mark == "{") { key = string(); blank(); at++ }
            element(path == "" ? key : path "/" key)
            blank()
            if (substr(text, at, 1) == ",") at++
        }
        at++
    } else if (mark == "\"") printf "%s\t%s\n", path, string()
    else {
        start = at
        while (at <= length(text) && !index(",}] \t\r\n", substr(text, at, 1))) at++
        printf "%s\t%s\n", path, substr(text, start, at - start)
        if (at == start) at++
    }
}
