#!/usr/bin/python3
# Reads and steers a session of coldshoe over D-Bus: a warmer picture, with exposure held for a while.
# Needs dbus-python (Debian: python3-dbus). Usage: steer.py [system|session] [SECONDS]
import os
import sys
import time

import dbus

NAME = "org.coldshoe.Coldshoe1"
ROOT = "/org/coldshoe/Coldshoe1"
SESSION = NAME + ".Session"

bus = dbus.SystemBus() if sys.argv[1:2] == ["system"] else dbus.SessionBus()
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0

# One call tells everything: each object's path, its interfaces and their properties.
manager = dbus.Interface(bus.get_object(NAME, ROOT), "org.freedesktop.DBus.ObjectManager")
objects = manager.GetManagedObjects()
sessions = [path for path, interfaces in objects.items() if SESSION in interfaces]
if not sessions:
    sys.exit("there is no session: start a camera first")
path = sessions[0]
told = objects[path][SESSION]
print(f"session {told['Id']}, camera {told['Camera']}, {told['Frames']} frames")

session = dbus.Interface(bus.get_object(NAME, path), SESSION)
try:
    # libcamera's names, in its types: in force from the next frame on, for whatever the pipeline asks.
    # What others have set stays, unless the option "replace" is true.
    session.SetControls(
        {
            "AwbEnable": dbus.Boolean(False),
            "ColourGains": dbus.Struct((2.0, 1.25), signature="dd"),
            "Contrast": dbus.Double(1.2),
        },
        dbus.Dictionary({}, signature="sv"),
    )

    # The hold lasts as long as this descriptor. If this program dies, it ends with it.
    held = session.Hold("ae", "steer.py shows how", dbus.Dictionary({}, signature="sv")).take()
    print(f"exposure is held for {seconds} s")
    time.sleep(seconds)
    os.close(held)
except dbus.DBusException as error:
    # The name says what it is, the text has three lines: what, why, and what to do.
    sys.exit(f"{error.get_dbus_name()}\n{error.get_dbus_message()}")

properties = dbus.Interface(bus.get_object(NAME, path), "org.freedesktop.DBus.Properties")
p50, p95, p99, longest = properties.Get(SESSION, "LatencyUSec")
print(f"99 of 100 frames took less than {p99} us")
