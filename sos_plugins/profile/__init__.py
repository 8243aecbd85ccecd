"""The data-quality profile: what is wrong with records, by authority and year, before analysis."""

from sos_plugins.profile.build import profile_records
from sos_plugins.profile.record_profile import RecordProfile
from sos_plugins.profile.settings import ProfileSettings

__all__ = ["ProfileSettings", "RecordProfile", "profile_records"]
